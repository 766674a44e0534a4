"""Endpoints to draw from by chance, each as often as its weight says.

A draw, and putting one in or out, cost the same however many there are: endpoints stand in classes
of weights that differ by less than two, so that one of a class by chance can be kept or drawn
anew, by how far its weight lags behind the class's greatest, and is kept at least every other
time. Where all weights are equal the first one drawn is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.upstream.endpoint import Endpoint

Chance = Callable[[], float]  # a number in [0, 1), another one each time


class _Class:
    """Endpoints with weights of one order of magnitude."""

    __slots__ = ("endpoints", "most", "total", "weights")

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.weights: list[int] = []
        self.total = 0
        self.most = 1  # no weight is greater; it falls when the class is empty

    def draw(self, random: Chance) -> Endpoint:
        endpoints, weights, most = self.endpoints, self.weights, self.most
        while True:
            spot = random() * len(endpoints)
            index = int(spot)
            if (spot - index) * most < weights[index]:
                return endpoints[index]


class Bag:
    """Any number of endpoints. They are kept with the weight that they are put in with."""

    __slots__ = ("_classes", "_order", "_places", "total")

    def __init__(self) -> None:
        self._classes: dict[int, _Class] = {}
        self._order: list[_Class] = []  # those with somebody in them, the heaviest weights first
        self._places: dict[Endpoint, tuple[int, int]] = {}  # class, and index in it
        self.total = 0  # of weights

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, endpoint: Endpoint) -> bool:
        return endpoint in self._places

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._places)

    def put(self, endpoint: Endpoint, weight: int) -> None:
        """One in, or another weight for it; less than 1 counts as 1: nobody starves."""
        weight = max(weight, 1)
        place = self._places.get(endpoint)
        if place is not None:
            if self._classes[place[0]].weights[place[1]] == weight:
                return
            self.drop(endpoint)
        number = (weight - 1).bit_length()
        group = self._classes.get(number)
        if group is None:
            group = self._classes[number] = _Class()
            self._order = [self._classes[n] for n in sorted(self._classes, reverse=True)]
        self._places[endpoint] = (number, len(group.endpoints))
        group.endpoints.append(endpoint)
        group.weights.append(weight)
        group.total += weight
        group.most = max(group.most, weight)
        self.total += weight

    def drop(self, endpoint: Endpoint) -> int:
        """One out; the weight that it had, 0 if it was not there."""
        place = self._places.pop(endpoint, None)
        if place is None:
            return 0
        number, index = place
        group = self._classes[number]
        last, its = group.endpoints.pop(), group.weights.pop()
        weight = its
        if last is not endpoint:  # the last one takes its place
            weight = group.weights[index]
            group.endpoints[index], group.weights[index] = last, its
            self._places[last] = place
        group.total -= weight
        self.total -= weight
        if not group.endpoints:
            del self._classes[number]
            self._order.remove(group)
        return weight

    def draw(self, random: Chance) -> Endpoint:
        """One by chance. There must be one."""
        order = self._order
        group = order[0]
        if len(order) > 1:
            spot = random() * self.total
            for group in order:
                spot -= group.total
                if spot < 0:
                    break
        return group.draw(random)

    def draw_another(self, random: Chance, than: Endpoint) -> Endpoint | None:
        """One by chance that is not this one, as often as if that one were not there; None if
        there is nobody else."""
        for _ in range(3):
            drawn = self.draw(random)
            if drawn is not than:
                return drawn
        weight = self.drop(than)  # its weight is most of all
        drawn = self.draw(random) if self._places else than
        if weight:
            self.put(than, weight)
        return None if drawn is than else drawn
