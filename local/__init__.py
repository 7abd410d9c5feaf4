"""Commands that install and run the whole stack on one machine, as plain processes."""
