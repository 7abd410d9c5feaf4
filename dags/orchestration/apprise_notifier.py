"""Airflow's notifier for Apprise, which also notices that a target could not be reached."""

import apprise
from airflow.providers.apprise.notifications.apprise import AppriseNotifier
from airflow.sdk import Context


class CheckedAppriseNotifier(AppriseNotifier):
    """Notifier that raises ConnectionError if Apprise reports a failure, which Airflow ignores."""

    def notify(self, context: Context) -> None:
        """Send title and body to every address of the connection."""
        targets = apprise.Apprise()
        connection = self.hook.get_connection(self.apprise_conn_id)
        self.hook.set_config_from_conn(connection, targets)
        if not targets.notify(body=self.body, title=self.title or "", tag="all"):
            raise ConnectionError(f"no answer from the targets of {self.apprise_conn_id}")
