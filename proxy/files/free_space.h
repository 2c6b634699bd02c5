// proxy/files/free_space.h - how much room there is for files.
//
// Threading: any thread; it asks the system.
#pragma once

#include <cstdint>
#include <string>

namespace batchproxy {

// Bytes that we may still write in `directory`; where it will be made, if there is none yet: in the
// nearest one above it. 0 when that cannot be told, as for an empty name.
std::uint64_t free_bytes_at(const std::string& directory);

}  // namespace batchproxy
