#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short form of scripts/torture --coordinator --standby: thirteen faults of two coordinators, each kind once, and as many others."""
import sys

import torture

if __name__ == "__main__":
    sys.exit(torture.main(["--coordinator", "--standby", "--faults", "26", "--kills", "8", "--gap", "40"]))
