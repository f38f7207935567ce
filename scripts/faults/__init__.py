"""The parts of scripts/bench-faults: see there. Everything they start is on 127.0.0.1 and ends with them."""
