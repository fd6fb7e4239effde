"""Connections to tls-proxy's admin port that send half a request and wait."""

from attack import Attack
from server_configurations import ADMIN

ATTACK = Attack(new_clients="admin", nginx=False)
CONNECTIONS = 256


async def run(target):
    return await target.half_requests(ADMIN, CONNECTIONS)
