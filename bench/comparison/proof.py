"""Whether the device flushed often enough for what a class B broker says.

An acknowledgement that comes after a flush needs one whole flush of the device between the arrival
of its request and its answer. Requests that share a flush are on their way at the same time, so:

- with at most W requests on their way, a flush answers at most W of them: at least R / W flushes
  for R requests;
- on a schedule of r requests a second, half of the requests take p50 or less, and of those only
  r * p50 + 1 can be on their way together: at least (R / 2) / (r * p50 + 1) flushes.

Both are lower bounds whatever the broker does, so fewer flushes disprove the class. (More do not
prove it alone: other writers of the device flush as well. What the idle device does is shown.)
"""


def flushes_min(requests, in_flight):
    """For a run that keeps `in_flight` requests on their way."""
    return requests / in_flight


def flushes_min_on_schedule(requests, rate, p50_s):
    """For a run that sends `rate` requests per second whatever comes back."""
    return requests / 2 / (rate * p50_s + 1)


def refusal(durability, flushes, needed):
    """Why a run does not count in its class, or None."""
    if durability != "B" or flushes >= needed:
        return None
    return (f"class B, but the device flushed {flushes:.0f} times where {needed:.0f} is the least "
            f"for what was acknowledged: this broker did not flush before it acknowledged")
