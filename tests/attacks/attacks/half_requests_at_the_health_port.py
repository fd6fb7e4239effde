"""Connections to monolith's health port that send half a request and wait."""

from attack import Attack
from server_configurations import HEALTH

ATTACK = Attack(configurations=("none",), short=("10Mi",), program="monolith", memory=("10Mi",),
                new_clients="health", nginx=False)
CONNECTIONS = 256


async def run(target):
    return await target.half_requests(HEALTH, CONNECTIONS)
