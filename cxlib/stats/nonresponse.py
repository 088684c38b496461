"""Who does not answer? A number known of some rows made to speak for all of them."""

from __future__ import annotations

import numpy as np

from cxlib.stats.adjustment import _cross_fitted

LEAST = 0.02  # a smaller chance of being known counts as this one, so that no row weighs more than fifty


def for_all(values: np.ndarray, known: np.ndarray, key: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """What would the mean be, had everybody answered? One number per row whose mean says so, in any group of rows.

    Parameters
    ----------
    values : array
        NaN where a row has no answer.
    known : array, (row, column)
        What is known of every row, before and after it was asked, as numbers.
    key : array of uint64
        A hash of each row's cluster; with `seed` it decides which fold the cluster is in.

    Returns
    -------
    array
        m + answered (value - m) / chance, with the chance of an answer (logistic regression, at least .02) and the mean answer
        m (ridge regression) given what is known, both fitted on the other four folds of clusters. Not an answer of the row:
        only means over rows say something.

    Notes
    -----
    Right if one of the two models is, and if of rows known alike those who answer are like those who do not: whoever does not
    answer for a reason that nothing here tells stays unheard.

    References
    ----------
    Robins, Rotnitzky and Zhao (1994), J. Am. Stat. Assoc. 89, section 2.

    Examples
    --------
    Four of ten content customers answer, and eight of ten annoyed ones:

    >>> annoyed = np.repeat([0.0, 1.0], 1000)
    >>> answers = np.where(np.arange(2000) % 10 < np.where(annoyed, 8, 4), 5 - annoyed, np.nan)
    >>> found = for_all(answers, annoyed[:, None], np.arange(2000, dtype=np.uint64))
    >>> round(float(np.nanmean(answers)), 1), round(float(found.mean()), 1)
    (4.3, 4.5)
    """
    told = ~np.isnan(values)
    if told.all() or not told.any():
        return np.asarray(values, dtype=float)
    filled = np.where(told, values, 0.0)[:, None]
    chance, mean = _cross_fitted(filled, told, known, key, seed)
    return mean[:, 0] + np.where(told, (filled - mean)[:, 0] / chance.clip(LEAST), 0.0)
