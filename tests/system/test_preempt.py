#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Priorities: who goes first takes workers from the others, who give what they have beyond their minimum and get it back."""
import json
import sys

from cluster import ENDS, Cluster, PatientCluster, Tap, wait_for

JOBS = {"low": 1, "mid": 2, "high": 3}  # and their seeds


def spec(name):
    return {"name": name, "steps": 1_000_000, "every": 100, "seed": JOBS[name]}


def have(cluster, **wanted):
    """All of these train, on so many workers each."""
    def there():
        jobs = {job["name"]: job for job in cluster.json("jobs")}
        ended = [name for name in wanted if name in jobs and jobs[name]["state"] in ENDS]
        assert not ended, f"{ended} ended before they were looked at"
        return all(name in jobs and jobs[name]["state"] == "running" and jobs[name]["workers"] == count
                   for name, count in wanted.items())
    wait_for(f"{wanted}", there)


def says(cluster, job, *words):
    """While it forms a generation it tells why; then, who has the workers that it could use."""
    wait_for(f"job {job} says {words}", lambda: all(word in cluster.status(job)["reason"] for word in words))


def broken(cluster, job):
    events = map(json.loads, cluster.muster("-o", "json", "events", "--job", job).splitlines())
    return [event["reason"] for event in events if event["event"] == "BROKEN"]


def three_priorities():
    """three jobs of different priorities shrink, grow back and have the weights of undisturbed runs"""
    patient = ("--lost-ms", "60000", "--hang-ms", "60000")  # on a full machine a worker may get no turn for a second
    with Cluster(4, coordinator_options=patient) as cluster:
        low = cluster.submit(cluster.gpt(**spec("low"), workers=(1, 8), priority=0))
        have(cluster, low=4)
        mid = cluster.submit(cluster.gpt(**spec("mid"), workers=(1, 2), priority=1))
        have(cluster, low=2, mid=2)
        high = cluster.submit(cluster.gpt(**spec("high"), workers=(2, 2), priority=5))
        have(cluster, low=1, mid=1, high=2)
        says(cluster, low, "trains on 1 of up to 8", f"job {high} (high, priority 5) has 2")
        why = broken(cluster, low)
        assert any(f"goes to job {high} (high), whose priority is higher: 5 over 0" in text for text in why), why
        cluster.muster("pause", high)
        have(cluster, low=2, mid=2)
        says(cluster, low, "trains on 2 of up to 8", f"job {mid} (mid, priority 1) has 2")
        cluster.muster("resume", high)
        have(cluster, low=1, mid=1, high=2)
        jobs = {"low": low, "mid": mid, "high": high}
        for name in ("high", "mid", "low"):
            assert cluster.status(jobs[name])["restarts"] == 0, cluster.status(jobs[name])
            cluster.same_as_calm(jobs[name], **spec(name))


def not_for_nothing():
    """a job that asks for more than can be freed waits, says so, and nobody is shrunk for it; cancelled, it is forgotten"""
    with PatientCluster(3) as cluster:
        low = cluster.submit(cluster.gpt("low", steps=1000000, workers=(2, 8)))
        have(cluster, low=3)
        generation = cluster.status(low)["generation"]
        high = cluster.submit(cluster.gpt("high", steps=10, workers=(2, 2), priority=5))
        wait_for("it says what it waits for", lambda: "which would not do" in cluster.status(high)["reason"])
        cluster.wait_step(low, cluster.status(low)["step"] + 50)
        assert cluster.status(low)["generation"] == generation
        cluster.muster("scale", low, "1")
        cluster.wait_done(high)
        cluster.muster("cancel", low)


if __name__ == "__main__":
    sys.exit(Tap().run(three_priorities, not_for_nothing))
