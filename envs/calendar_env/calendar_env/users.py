"""The people of the seed world. Their access tokens are fixed and public: this is a gym, not a vault."""

from __future__ import annotations

from typing import NamedTuple


class SeedUser(NamedTuple):
    """Somebody who has an account when an episode begins."""

    user_id: str
    email: str
    given_name: str
    family_name: str
    time_zone: str
    access_token: str

    @property
    def name(self) -> str:
        """Given and family name."""
        return f"{self.given_name} {self.family_name}"


DOMAIN = "techcorp.com"

ALICE = SeedUser(
    "alice_manager", "alice.manager@techcorp.com", "Alice", "Manager", "America/New_York", "token-alice-7b1f4c29e05d48a6"
)
BOB = SeedUser("bob_developer", "bob.smith@techcorp.com", "Bob", "Smith", "America/Los_Angeles", "token-bob-c3e8a1570f924d6b")
CAROL = SeedUser("carol_designer", "carol.white@techcorp.com", "Carol", "White", "Europe/London", "token-carol-58d20b9ae7f34c11")
DAVE = SeedUser("dave_sales", "dave.brown@techcorp.com", "Dave", "Brown", "America/Chicago", "token-dave-e64f97c30b1a4d82")

SEED_USERS = (ALICE, BOB, CAROL, DAVE)
