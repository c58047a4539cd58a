# peer.py --system|--user PROGRAM: for each line on stdin runs PROGRAM in a transient unit by pystemd.run, waits for its
# end and prints how many nanoseconds that took.
import sys
import time

import pystemd.run

user_mode, program = sys.argv[1] == "--user", sys.argv[2]
for _ in sys.stdin:
    begun = time.perf_counter_ns()
    pystemd.run([program], user_mode=user_mode, wait=True, collect=True, raise_on_fail=True)
    print(time.perf_counter_ns() - begun, flush=True)
