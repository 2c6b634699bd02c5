// launcher/agent/run_token.h - how a batchproxy and its agents know each other: by a token that
// each run makes anew, and that is never sent.
//
// Each side says a number that nobody can guess (a nonce); the other answers with a proof, which is
// made of the token, of what is proved, and of both nonces. Who listens in on the network learns
// nothing by which he could be one of them later; nor does who takes our port after our death.
//
// Threading: pure functions over values.
#pragma once

#include <string>
#include <string_view>

namespace batchproxy {

// The variable in which an agent looks for it.
inline constexpr const char* kAgentTokenVariable = "BATCHPROXY_AGENT_TOKEN";

// 256 bits in hex, from the kernel.
std::string make_run_token();

// 128 bits in hex, likewise.
std::string make_nonce();

// "agent" and "batchproxy": of whom to whom. `what`: that is proved beside.
std::string make_proof(std::string_view token, std::string_view who, std::string_view what,
                       std::string_view batchproxys_nonce, std::string_view agents_nonce);

// In a time that tells nothing of where they differ.
bool same_proof(std::string_view a, std::string_view b);

}  // namespace batchproxy
