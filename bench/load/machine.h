// bench/load/machine.h - where and when a run was made.
//
// Threading: any thread; reads files of the system.
#pragma once

#include <string>

namespace batchproxy::bench {

// "Intel Xeon …, 2 cores, 8 GiB, Linux 6.1.0".
std::string machine_words();

// "20261130-014500", in UTC.
std::string utc_stamp();

// As many files and connections as the system lets us have.
void raise_descriptor_limit();

}  // namespace batchproxy::bench
