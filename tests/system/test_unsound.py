#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checkpoints that are not what was committed: the one before is used, and the weights are those of a calm run."""
import json
import os
import shutil
import sys

from cluster import ENDLESS, Cluster, Tap, calm_weights, wait_for


def events(cluster, name):
    lines = [json.loads(line) for line in cluster.muster("-o", "json", "events").splitlines()]
    return [line for line in lines if line["event"] == name]


def unsound(cluster):
    return events(cluster, "UNSOUND")


def flip_a_bit(newest, _before):
    """Storage lost a bit."""
    path = os.path.join(newest["path"], "model.safetensors")
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def put_another(newest, before):
    """What lies there is sound, and another step's state."""
    shutil.rmtree(newest["path"])
    shutil.copytree(before["path"], newest["path"])


def lose_all_workers(cluster, job):
    cluster.kill_all_workers()
    wait_for("nobody has the job", lambda: cluster.status(job)["state"] in ("pending", "preparing"))


def goes_on_beyond(cluster, job, step):
    """Its newest checkpoint is one of a later step."""
    return wait_for(f"a checkpoint after step {step}", lambda: (s := cluster.status(job))["weights_step"] > step and s)


def resume_from_the_one_before(spoil):
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS), "checkpoint.keep=1000")  # also what is committed
        wait_for("two checkpoints", lambda: len(cluster.json("checkpoints", job)) >= 2)
        lose_all_workers(cluster, job)
        before, newest = cluster.json("checkpoints", job)[-2:]
        spoil(newest, before)
        cluster.start_worker("third")
        cluster.start_worker("fourth")
        wait_for("it is given up", lambda: unsound(cluster))
        goes_on_beyond(cluster, job, newest["step"])
        found = unsound(cluster)
        assert [(one["step"], one["back_step"]) for one in found] == [(newest["step"], before["step"])], found
        assert found[0]["worker"].startswith("w") and "damaged, or of another state" in found[0]["text"], found
        sums = {line["step"]: line["state_sum"] for line in events(cluster, "COMMIT")}
        assert sums[before["step"]], "nobody could have told that what was loaded then is what all held"
        again = {at["weights_hash"] for at in cluster.json("checkpoints", job) if at["step"] == newest["step"]}
        assert again <= {calm_weights(newest["step"], **ENDLESS)}, again  # it may have been left out this time
        cluster.kill_coordinator()
        cluster.start_coordinator()
        cluster.same_as_calm(job, **ENDLESS)


def lose_the_folder(cluster, job):
    """The checkpoint folder's place is an empty one, as where it is not mounted; new workers look there."""
    wait_for("two checkpoints", lambda: len(cluster.json("checkpoints", job)) >= 2)
    lose_all_workers(cluster, job)
    newest = cluster.json("checkpoints", job)[-1]
    folder = os.path.dirname(newest["path"])
    os.rename(folder, folder + ".unmounted")
    os.mkdir(folder)
    cluster.start_worker("third")
    cluster.start_worker("fourth")
    said = ("waits for its checkpoint", f"of step {newest['step']}", newest["path"], "third", "fourth", "No such file or directory")
    wait_for(f"the job says {said}", lambda: all(words in cluster.status(job)["reason"] for words in said))
    told = [line["text"] for line in events(cluster, "STATE") if "waits for its checkpoint" in line["text"]]
    assert told, "muster events does not say that it waits"
    return newest, folder


def not_mounted():
    """the checkpoint folder is empty when all workers die: the job waits, says so, and goes on when it is back"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS))
        newest, folder = lose_the_folder(cluster, job)
        os.rmdir(folder)
        os.rename(folder + ".unmounted", folder)
        goes_on_beyond(cluster, job, newest["step"])
        assert not unsound(cluster), unsound(cluster)
        back = [line["step"] for line in events(cluster, "REWIND")]  # steps behind the checkpoint may have been made
        assert back in ([], [newest["step"]]), (back, newest)
        firsts = [line["step"] for line in events(cluster, "FORM")]
        assert newest["step"] in firsts, firsts
        cluster.same_as_calm(job, **ENDLESS)


def gone_for_good():
    """the same, and somebody says that it does not come back: it begins anew, which is told, and ends as ever"""
    with Cluster(2) as cluster:
        job = cluster.submit(cluster.gpt(workers=(2, 2), **ENDLESS))
        newest, _folder = lose_the_folder(cluster, job)
        cluster.muster("resume", "--forgo-checkpoint", job)
        again = cluster.try_muster("resume", "--forgo-checkpoint", job)
        assert again.returncode in (0, 65), again.stdout + again.stderr
        found = wait_for("it begins anew", lambda: (told := unsound(cluster)) and told[-1]["back_step"] == 0 and told)
        assert found[0]["step"] == newest["step"], found
        assert all(one["unread"] and "given up on request" in one["text"] for one in found), found
        goes_on_beyond(cluster, job, 0)
        assert unsound(cluster) == found
        cluster.same_as_calm(job, **ENDLESS)


def damaged():
    """a bit of the newest checkpoint is flipped and all workers die: the one before is loaded, and equal weights"""
    resume_from_the_one_before(flip_a_bit)


def another_state():
    """the newest checkpoint is another step's: the same, and what lies in the way of the right one makes room"""
    resume_from_the_one_before(put_another)


if __name__ == "__main__":
    sys.exit(Tap().run(damaged, another_state, not_mounted, gone_for_good))
