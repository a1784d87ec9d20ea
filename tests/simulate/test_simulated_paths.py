"""Where the simulated venues are found on their one port."""

from __future__ import annotations

import json

import pytest
import requests
import websocket

from monitor.simulate import Simulator

DEADLINE_S = 10


def test_a_sole_venue_is_served_at_the_root_too():
    with Simulator(["kraken"]) as running:
        root = running.ws_url("kraken").removesuffix("/kraken")
        for url in (root, root + "/kraken"):
            ws = websocket.create_connection(url + "/v2", timeout=DEADLINE_S)
            assert json.loads(ws.recv())["channel"] == "status"
            ws.close()


def test_paths_that_no_venue_has_are_not_found():
    with Simulator(["binance", "kraken"]) as simulator:
        root = simulator.http_url("binance").removesuffix("/binance")
        assert requests.get(root + "/nasdaq/time", timeout=DEADLINE_S).status_code == 404
        with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
            websocket.create_connection(simulator.ws_url("kraken") + "/v1", timeout=DEADLINE_S)
