// backends/sim/sim_engine.h - the command `batchproxy sim-engine MODEL [vllm flags]`: a simulated
// vLLM server. It takes `vllm serve`'s flags, prints its start-up lines, serves its endpoints and
// metrics, and keeps its time; its answers are deterministic functions of the prompt.
#pragma once

namespace batchproxy::sim {

// Runs until SIGTERM or SIGINT. argv[0] is the name of the command ("sim-engine"), argv[1] the
// model. Returns the exit code: 0 after a signal, 1 when it cannot start, 2 for wrong flags.
// Threading: call once, on the main thread.
int run_sim_engine(int argc, char** argv);

}  // namespace batchproxy::sim
