// backends/net/system_random.h - numbers that nobody can guess, from the kernel.
//
// Used instead of std::random_device, which Debian 12's libstdc++ makes of a function that glibc
// has had only since 2.36: programs that we give to others run with 2.35.
//
// Threading: any thread.
#pragma once

#include <cstdint>

namespace batchproxy {

// Throws std::system_error where the kernel gives none.
std::uint64_t system_random();

}  // namespace batchproxy
