import threading

from local.processes import turn


def test_a_second_stack_waits_until_the_first_has_its_ports():
    begun = threading.Event()

    def second() -> None:
        with turn():
            begun.set()

    with turn():
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not begun.wait(0.5)
    assert begun.wait(5)
    waiting.join()
