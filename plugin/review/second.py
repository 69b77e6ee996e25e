"""Temporary."""

from plugin.store.people import Account
from plugin.store.records import Draft
from plugin.store.store import Store


def after_approval(store: Store, draft: Draft, account: Account, share: float) -> None: ...
def waiting(store: Store, account: Account) -> list[str]:
    return []


def waits_for(store: Store, draft: Draft, account: Account) -> bool:
    return False


def looked(store: Store, draft: Draft, account: Account, *, agreed: bool) -> None: ...
