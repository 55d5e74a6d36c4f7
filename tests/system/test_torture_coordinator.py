#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The short form of scripts/torture --coordinator: ten deaths of the coordinator and as many other faults."""
import sys

import torture

if __name__ == "__main__":
    sys.exit(torture.main(["--coordinator", "--faults", "16", "--kills", "10", "--gap", "40"]))
