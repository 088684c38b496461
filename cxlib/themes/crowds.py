"""Where do new texts crowd? The share of new tickets around each text, and parts of the texts where it is no chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse import csgraph

from cxlib.themes.graph import fuzzy_graph, neighbours, partition

N_NEAREST = 30  # tickets whose newness is asked for around each text, its own included
LEVEL = 0.05  # chance of any part where nothing is news
_LINKS = 5  # nearest texts that a text can share a part with
_CROWDED = 0.01  # share of the texts that are crowded where nothing is news
_TRIES = 10  # deals that say from where on a text is crowded
_THIN = 0.05  # a part is two where less than this of the smaller half's ties lead to the other
_NONE = -1


class Tickets(NamedTuple):
    """Who wrote which text when. A unit is what may fall into either period: a ticket, or all of a customer's in a period."""

    text: np.ndarray  # of each ticket, by number in the alphabet
    unit: np.ndarray  # of each ticket
    is_new: np.ndarray  # of each unit


class Crowds(NamedTuple):
    """What makes a text crowded: weights of its own tickets and of its neighbours, which sum to 1 with `missing`."""

    own: np.ndarray
    votes: sparse.csr_matrix
    missing: np.ndarray  # the weight of neighbours that a text does not have
    links: sparse.csr_matrix  # its few nearest texts


def dealt_as(text: np.ndarray, new: np.ndarray, who: np.ndarray) -> Tickets:
    """Tickets with their units, in an order that rests on what is written alone: neither on that of the input nor on ids.

    >>> dealt_as(np.array([1, 0, 1]), np.array([True, True, False]), np.array([7, 7, 7]))
    Tickets(text=array([1, 0, 1]), unit=array([0, 0, 1]), is_new=array([ True, False]))
    """
    unit = pd.factorize(2 * who + new)[0]
    order = np.lexsort((text, unit))
    wrote = [tuple(part.tolist()) for part in np.split(text[order], np.flatnonzero(np.diff(unit[order])) + 1)]
    is_new = np.zeros(len(wrote), dtype=bool)
    is_new[unit] = new
    place = sorted(range(len(wrote)), key=lambda i: (wrote[i], is_new[i]))
    rank = np.empty(len(wrote), dtype=int)
    rank[place] = np.arange(len(wrote))
    return Tickets(text, rank[unit], is_new[place])


def crowds(points: np.ndarray, copies: np.ndarray) -> Crowds:
    """Who is asked about each text: itself once per copy, then its nearest others once each, 30 in all."""
    n, k = len(points), min(N_NEAREST - 1, len(points) - 1)
    near, cosine = neighbours(points, k) if k else (np.empty((n, 0), dtype=int), np.empty((n, 0)))
    weight = 1 / np.sqrt(np.arange(1, 2 * N_NEAREST + 1))
    weight[N_NEAREST:] = 0
    weight /= weight.sum()
    own = np.minimum(copies, N_NEAREST)
    vote = np.where(cosine > 0, weight[own[:, None] + np.arange(k)], 0)
    start = np.repeat(np.arange(n), k)
    votes = sparse.csr_matrix((vote.ravel(), (start, near.ravel())), shape=(n, n))
    tied = (cosine > 0) & (np.arange(k) < _LINKS)
    links = sparse.csr_matrix((tied.ravel().astype(float), (start, near.ravel())), shape=(n, n))
    links.eliminate_zeros()
    own_weight = np.append(0, np.cumsum(weight))[own]
    return Crowds(own_weight, votes, 1 - own_weight - vote.sum(axis=1), links)


def parts_that_are_news(
    points: np.ndarray, tickets: Tickets, denser: float, deals: int, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which distinct texts stand where new tickets crowd by more than chance? See `emerging`.

    Returns the part of each text, numbered from 0 for the one with most new tickets (-1: none), each part's p-value, and the
    part that each text lies in by its neighbours alone (`surrounded_by`).
    """
    copies = np.bincount(tickets.text)
    around = crowds(points, copies)

    def shares(is_new: np.ndarray) -> np.ndarray:
        return np.bincount(tickets.text, weights=is_new[tickets.unit]) / copies

    usual = shares(tickets.is_new).mean()  # over texts: one sent a thousand times does not make all the others old
    dealt_new = round(len(tickets.is_new) * denser * usual / (1 - usual + denser * usual))
    often = np.arange(len(tickets.is_new)) < dealt_new

    def newness(is_new: np.ndarray) -> np.ndarray:
        share = shares(is_new)
        return (around.own * share + around.votes @ share + around.missing * usual).round(9)

    threshold = np.quantile(np.concatenate([newness(draw.permutation(often)) for _ in range(_TRIES)]), 1 - _CROWDED)

    def found(is_new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        excess = np.maximum(newness(is_new) - threshold, 0)
        part = connected(excess > 0, around.links)
        return excess, part, masses(part, excess, tickets, is_new)

    largest = np.array([found(draw.permutation(often))[2].max(initial=0) for _ in range(deals)])

    def p_value(mass: np.ndarray) -> np.ndarray:
        return (1 + (largest[:, None] >= mass).sum(axis=0)) / (1 + deals)

    def are_news(part: np.ndarray) -> np.ndarray:
        return p_value(masses(part, excess, tickets, tickets.is_new)) <= LEVEL

    excess, part, mass = found(tickets.is_new)
    for number in np.flatnonzero((p_value(mass) <= LEVEL) & (mass > 0)).tolist():
        part = cut(part, number, points, are_news)
    p = p_value(masses(part, excess, tickets, tickets.is_new))
    part, p = by_size(part, p, np.bincount(tickets.text, weights=tickets.is_new[tickets.unit]))
    return part, p, surrounded_by(part, around.links, copies)


def connected(crowded: np.ndarray, links: sparse.csr_matrix) -> np.ndarray:
    """Which crowded texts hang together? The part of each text, -1 for those that are not crowded.

    >>> first_to_second_and_third_to_last = sparse.csr_matrix((np.ones(2), ([0, 2], [1, 3])), shape=(4, 4))
    >>> connected(np.array([True, True, True, False]), first_to_second_and_third_to_last)
    array([ 0,  0,  1, -1])
    """
    inside = np.flatnonzero(crowded)
    part = np.full(len(crowded), _NONE)
    if len(inside):
        part[inside] = csgraph.connected_components(links[inside][:, inside], directed=False)[1]
    return part


def masses(part: np.ndarray, excess: np.ndarray, tickets: Tickets, is_new: np.ndarray) -> np.ndarray:
    """The sum over each part's new units of what their most crowded ticket exceeds the threshold by."""
    counted = is_new[tickets.unit] & (part[tickets.text] >= 0)
    text, unit = tickets.text[counted], tickets.unit[counted]
    cell, where = np.unique(part[text] * len(is_new) + unit, return_inverse=True)  # a unit counts once in each part
    most = np.zeros(len(cell))
    np.maximum.at(most, where, excess[text])
    return np.bincount(cell // len(is_new), weights=most, minlength=part.max(initial=_NONE) + 1).round(9)


def cut(part: np.ndarray, number: int, points: np.ndarray, are_news: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The parts, one of them cut in two, and again, where the cut is thin and both sides are news by themselves."""
    inside = np.flatnonzero(part == number)
    if len(inside) < 4:
        return part
    graph = fuzzy_graph(points[inside])
    half = partition(graph, 2).astype(bool)
    sides = [graph[half].sum(), graph[~half].sum()]
    other = part.max() + 1
    halved = part.copy()
    halved[inside[half]] = other
    if min(sides) == 0 or graph[half][:, ~half].sum() > _THIN * min(sides) or not are_news(halved)[[number, other]].all():
        return part
    return cut(cut(halved, number, points, are_news), other, points, are_news)


def by_size(part: np.ndarray, p: np.ndarray, n_new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Only the parts that are news, those with most new tickets first; of two as large, the one earlier in the alphabet."""
    size = np.bincount(part[part >= 0], weights=n_new[part >= 0], minlength=len(p))
    earliest = np.array([np.argmax(part == i) for i in range(len(p))], dtype=int)
    order = np.lexsort((earliest, -size))
    news = order[(p[order] <= LEVEL) & (size[order] > 0)]
    number = np.full(len(p) + 1, _NONE)  # the last one is for -1
    number[news] = np.arange(len(news))
    return number[part], p[news]


def surrounded_by(part: np.ndarray, links: sparse.csr_matrix, copies: np.ndarray) -> np.ndarray:
    """In which part are most of each text's nearest tickets? -1 for none; whether the text is itself in it does not count.

    Old and new texts are so counted by one rule: those of a part are mostly new because they were chosen for it.

    >>> all_with_all = sparse.csr_matrix(1 - np.eye(4))
    >>> surrounded_by(np.array([0, 0, 0, -1]), all_with_all, np.ones(4, dtype=int))
    array([0, 0, 0, 0])
    """
    inside = sparse.csr_matrix((part[:, None] == np.arange(part.max() + 1)).astype(float))
    twins = np.minimum(copies - 1, _LINKS)
    near = (links @ inside + sparse.diags_array(twins.astype(float)) @ inside).toarray()
    if not near.shape[1]:
        return part
    most = near.max(axis=1) > (np.asarray(links.sum(axis=1)).ravel() + twins) / 2
    return np.where(most, near.argmax(axis=1), _NONE)
