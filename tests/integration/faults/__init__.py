"""The table of faults, row by row: what the client sees, what the log says, what /metrics says.

Every test ends with the conservation law, read from /metrics: received = finished + queued + in flight, with
nothing queued and nothing in flight.

  row  fault                                   test
    1  backend killed in mid-batch             here
    2  backend killed in mid-stream            here
    3  backend hangs                           here
    4  garbage for an answer                   here; every kind of it in test_response_cases.py
    5  too few, too many, wrong choices        here
    6  choices out of order                    here
    7  500 for one prompt of a shared call     here; with 64 members in test_shared_calls.py
    8  400 for one prompt of a shared call     here; with 64 members in test_shared_calls.py
    9  query of death                          here (two tests); under load in tests/chaos
   10  answer drips                            here; to the client's deadline in test_response_cases.py
   11  kept connection that was dead           here; at every state of the answer in test_response_cases.py
   12  client leaves while queued              here
   13  client leaves while in flight           here
   14  disconnect storm                        here
   15  large bodies                            here
   16  idle connections, cap on connections    test_limits.py, test_row_16_*; memory: lab idle-connections
   17  long queue                              here; order and fairness in tests/batcher
   18  out of descriptors                      test_limits.py, test_row_18_*
   19  log disk full                           here
   20  SIGTERM under load, and while all down  here; over many rounds in tests/chaos/drain.py
   21  SIGKILL of the proxy                    test_no_survivors.py, test_launching.py, tests/launcher
   22  reload, also with an invalid file       here; every invalid file in tests/configs
   23  port in use                             test_limits.py, test_row_23_*
   24  clock jump                              here
   25  engine dies, its children live          engine_process_test: …TakesItsDescendantsAlong; launcher_test
   26  engine ignores SIGTERM                  engine_process_test: StopKillsAStubbornTree…; test_no_survivors.py
   27  engine floods its log                   test_log_flood.py; log_flood_test, rotating_log_test
   28  restart storm                           test_supervision.py: …given_up_after_five; restart_policy_test
   29  zombies                                 tests/chaos/night.py
   30  one backend permanently bad             here; one that never comes up: test_supervision.py
   31  all down, then up                       here
   32  backend asks to wait                    here
   33  late answer of an abandoned attempt     here
   34  out of memory                           here; the byte budget in test_limits.py, test_row_34_*
   35  exception in a handler                  here: one that memory running out throws
   36  refused and unroutable addresses        here
"""
