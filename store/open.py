"""The three places of the store behind one name."""

from dataclasses import dataclass

from config.settings import Settings
from config.storage import encryption
from store.database import Database
from store.events import Events
from store.files import Storage


@dataclass(frozen=True)
class Store:
    """The record, the files and the events; safe to share between threads."""

    database: Database
    files: Storage
    events: Events

    def reopen(self) -> None:
        """Drop every connection. A forked child must, or it would share its parent's sockets."""
        self.database.reopen()
        self.events.reopen()


def open_store(settings: Settings) -> Store:
    """The store these settings name; nothing is connected yet."""
    return Store(Database(settings.database), open_files(settings), Events(settings.redis_url))


def open_files(settings: Settings) -> Storage:
    """The files alone."""
    return Storage(settings.storage, encryption=encryption(settings.s3_sse, settings.s3_kms_key_id))
