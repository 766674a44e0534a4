"""Servers by DNS, from a server that changes its mind, fails, lies and is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from proxy.hub.discovery import lookup
from proxy.hub.discovery.dns import MOST, usable
from proxy.hub.discovery.pace import Pace
from tests.dns_server import NXDOMAIN, REFUSED, SERVFAIL, DnsServer, Record

from .kit import dns_server, heard, source

NAME = "orders.test"
ORDERS = f"dns://{NAME}:8000"
A, B, C = "http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://[fd00::1]:8000"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with dns_server() as server:
        server.put(NAME, "A", "10.0.0.1", "10.0.0.2")
        server.put(NAME, "AAAA", "fd00::1")
        yield server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "TIMEOUT", 0.05)
    monkeypatch.setattr(lookup, "LIFETIME", 0.1)


async def test_all_addresses_of_both_families_and_what_changes(dns: DnsServer) -> None:
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers == {A: 1, B: 1, C: 1})
        dns.put(NAME, "A", "10.0.0.2")
        await ear.until(lambda: ear.servers == {B: 1, C: 1})
        dns.put(NAME, "AAAA")
        await ear.until(lambda: ear.servers == {B: 1})
    assert not ear.reasons


@pytest.mark.parametrize("scheme", ["http", "https", "tcp"])
async def test_the_scheme_of_servers_is_said(dns: DnsServer, scheme: str) -> None:
    async with heard(source(dns, f"dns+{scheme}://{NAME}:9")) as ear:
        await ear.until(lambda: ear.servers)
        assert f"{scheme}://10.0.0.1:9" in (ear.servers or {})


async def test_the_least_ttl_of_a_chain_counts(dns: DnsServer) -> None:
    """The alias holds for 0 s and the addresses for an hour: the alias is asked for again."""
    other = [Record("CNAME", "real.test", 0), Record("A", "10.0.0.9", 3600, "real.test")]
    dns.records["alias.test", "A"] = [*other]
    async with heard(source(dns, "dns://alias.test:1")) as ear:
        await ear.until(lambda: ear.servers == {"http://10.0.0.9:1": 1})
        other[1] = Record("A", "10.0.0.8", 3600, "real.test")
        dns.records["alias.test", "A"] = [*other]
        await ear.until(lambda: ear.servers == {"http://10.0.0.8:1": 1})


async def test_nobody_asks_before_the_ttl_is_over(dns: DnsServer) -> None:
    dns.put(NAME, "A", "10.0.0.1", ttl=200)
    dns.put(NAME, "AAAA", ttl=200)
    async with heard(source(dns, ORDERS, Pace(0.005, 0.05))) as ear:
        await ear.more(2)  # `longest` is 50 ms here, so that it is asked at all
    assert dns.asked["udp A"] in (2, 3)


BAD = {
    "SERVFAIL": (SERVFAIL, "SERVFAIL from 127.0.0.1:"),
    "REFUSED": (REFUSED, "REFUSED from 127.0.0.1:"),
    "silence": (None, "no answer that could be used within 0.1 s"),
}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("bad", BAD)
async def test_what_was_found_stays_while_dns_fails(dns: DnsServer, bad: str) -> None:
    said, reason = BAD[bad]
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers == {A: 1, B: 1, C: 1})
        dns.records[NAME, "A"] = dns.records[NAME, "AAAA"] = said
        await ear.until(lambda: len(ear.reasons) >= 3)
        assert ear.servers == {A: 1, B: 1, C: 1}
        assert reason in ear.reasons[-1]
        assert "\n" not in ear.reasons[-1]
        dns.put(NAME, "A", "10.0.0.2")
        dns.put(NAME, "AAAA")
        await ear.until(lambda: ear.servers == {B: 1})


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lie", ["id", "question", "garbage"])
async def test_lies_are_no_answers(dns: DnsServer, lie: str) -> None:
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers == {A: 1, B: 1, C: 1})
        dns.lie = lie
        dns.put(NAME, "A", "6.6.6.6")
        await ear.until(lambda: len(ear.reasons) >= 2)
        assert ear.servers == {A: 1, B: 1, C: 1}
        dns.lie = ""
        await ear.until(lambda: "http://6.6.6.6:8000" in (ear.servers or {}))


async def test_records_of_other_names_are_no_answer(dns: DnsServer) -> None:
    dns.records[NAME, "A"] = [Record("A", "10.0.0.1"), Record("A", "6.6.6.6", 0, "bank.test")]
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers == {A: 1, C: 1})


async def test_a_chain_that_ends_nowhere_is_a_failure(dns: DnsServer) -> None:
    loop = [Record("CNAME", NAME)]
    dns.records[NAME, "A"] = dns.records[NAME, "AAAA"] = loop
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.reasons)
        assert ear.servers is None


async def test_one_family_that_fails_keeps_its_addresses(dns: DnsServer) -> None:
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers == {A: 1, B: 1, C: 1})
        dns.records[NAME, "AAAA"] = SERVFAIL
        dns.put(NAME, "A", "10.0.0.2")
        await ear.until(lambda: ear.servers == {B: 1, C: 1})
        await ear.more()
        assert ear.servers == {B: 1, C: 1}


@pytest.mark.parametrize("empty", [NXDOMAIN, []], ids=["no such name", "no records"])
async def test_an_empty_answer_is_believed_when_the_next_one_is(
    dns: DnsServer, empty: list[Record] | int
) -> None:
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers)
        dns.records[NAME, "A"] = dns.records[NAME, "AAAA"] = empty
        await ear.until(lambda: ear.reasons)
        assert ear.servers == {A: 1, B: 1, C: 1}
        assert ear.reasons[-1].endswith("it is believed if the next answer says so too")
        await ear.until(lambda: ear.servers == {})
        dns.put(NAME, "A", "10.0.0.2")
        await ear.until(lambda: ear.servers == {B: 1})


async def test_a_truncated_answer_is_asked_for_again_by_tcp(dns: DnsServer) -> None:
    dns.short = True
    many = [f"10.1.{n // 250}.{n % 250 + 1}" for n in range(MOST + 40)]
    dns.put(NAME, "A", *many)
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers)
        assert dns.asked["udp A"] == dns.asked["tcp A"] == 1
        assert len(ear.servers or {}) == MOST
        assert ear.notes[0] == f"{MOST + 41} addresses, of which {MOST} are used"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1", "fe80::1", "255.255.255.255"])
async def test_addresses_that_are_none_are_passed_over(dns: DnsServer, address: str) -> None:
    assert not usable(address)
    assert usable("127.0.0.1")
    dns.put(NAME, "A", *[a for a in ("10.0.0.1", address) if ":" not in a])
    dns.put(NAME, "AAAA", *[a for a in ("fd00::1", address) if ":" in a])
    async with heard(source(dns, ORDERS)) as ear:
        await ear.until(lambda: ear.servers == {A: 1, C: 1})


class TestServices:
    SRV = "srv://_http._tcp.orders.test"
    NAME = "_http._tcp.orders.test"

    @pytest.fixture(autouse=True)
    def targets(self, dns: DnsServer) -> None:
        dns.put("one.test", "A", "10.0.1.1")
        dns.put("two.test", "A", "10.0.2.1", "10.0.2.2")

    async def test_ports_and_weights_are_theirs(self, dns: DnsServer) -> None:
        """A target's weight is shared by its addresses."""
        dns.put(self.NAME, "SRV", "1 90 8001 one.test", "1 10 8002 two.test")
        one, two = "http://10.0.1.1:8001", "http://10.0.2.{}:8002"
        async with heard(source(dns, self.SRV)) as ear:
            await ear.until(lambda: ear.servers)
            assert ear.servers == {one: 18, two.format(1): 1, two.format(2): 1}

    async def test_the_lowest_priority_alone_and_the_next_if_it_has_none(
        self, dns: DnsServer
    ) -> None:
        dns.put(self.NAME, "SRV", "2 0 1 two.test", "1 0 1 one.test", "3 5 1 two.test")
        async with heard(source(dns, self.SRV)) as ear:
            await ear.until(lambda: ear.servers == {"http://10.0.1.1:1": 1})
            assert ear.notes == ["records of priority 2, 3 are passed over: those of 1 are in use"]
            dns.put("one.test", "A")
            both = {"http://10.0.2.1:1": 1, "http://10.0.2.2:1": 1}
            await ear.until(lambda: ear.servers == both)

    async def test_a_target_of_one_dot_means_none(self, dns: DnsServer) -> None:
        dns.put(self.NAME, "SRV", "0 0 0 .")
        async with heard(source(dns, self.SRV)) as ear:
            await ear.until(lambda: ear.servers == {})
            assert ear.reasons[0].startswith("the service is not offered there")

    async def test_a_target_that_fails_fails_the_answer(self, dns: DnsServer) -> None:
        dns.put(self.NAME, "SRV", "1 1 1 one.test", "1 1 1 two.test")
        async with heard(source(dns, self.SRV)) as ear:
            await ear.until(lambda: len(ear.servers or {}) == 3)
            dns.records["one.test", "A"] = dns.records["one.test", "AAAA"] = SERVFAIL
            await asyncio.wait_for(ear.more(), 20)
            assert len(ear.servers or {}) == 3


async def test_the_first_of_two_dns_servers_is_dead(dns: DnsServer) -> None:
    with dns_server() as dead:
        dead.records[NAME, "A"] = dead.records[NAME, "AAAA"] = SERVFAIL
        made = source(dns, ORDERS)
        made._servers = [("127.0.0.1", dead.port), ("127.0.0.1", dns.port)]
        async with heard(made) as ear:
            await ear.until(lambda: ear.servers == {A: 1, B: 1, C: 1})
