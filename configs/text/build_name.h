// configs/text/build_name.h - which commit a program was built from, and how.
//
// A library of its own: it changes with every commit, and only programs are to be linked anew.
//
// Threading: any thread; no state.
#pragma once

#include <string>

namespace batchproxy {

// "0123456789ab", with "-dirty" behind it where files differed from it; "unknown" without git.
std::string build_commit();

// "0.1.0, commit 0123456789ab, portable build by clang 19.1.7".
std::string build_name();

}  // namespace batchproxy
