"""Who is measured when, so that whatever else the machine does happens to all of them alike.

The order turns at every round (A B, B A, A B, ...). So the runs of one round are neighbours in
time and make a pair, and so are the last of a round and the first of the next, which are of the
same broker: their ratio is the A/A control, at the same distance and from the same runs. What the
control spreads over cannot be told from a difference.
"""

from comparison.figures import Spread, column, ratio


def order(brokers, rounds):
    """[(round, broker), ...] in the order of time."""
    turns = []
    for number in range(rounds):
        forth = brokers if number % 2 == 0 else brokers[::-1]
        turns += [(number, broker) for broker in forth]
    return turns


def control_pairs(turns):
    """Positions in `turns` of the neighbours that are of the same broker."""
    return [(at, at + 1) for at in range(len(turns) - 1) if turns[at][1] == turns[at + 1][1]]


def control(runs, figure):
    """The spread of the same broker over itself, of runs that are in the order of time."""
    turns = [(run["round"], run["broker"]) for run in runs]
    values = column(runs, figure)
    return Spread.of(ratio(values[later], values[earlier])
                     for earlier, later in control_pairs(turns))
