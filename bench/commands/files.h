// bench/commands/files.h - files that batchproxy-bench reads and writes whole.
//
// Threading: any thread; blocks.
#pragma once

#include <string>
#include <string_view>

namespace batchproxy::bench {

// All throw std::runtime_error with a sentence that names the file. "-" is standard output.
void write_file(const std::string& file, std::string_view text);
// The same for what may hold keys: a file that is made is its owner's alone.
void write_private_file(const std::string& file, std::string_view text);
std::string read_file(const std::string& file);
// Throws what write_file() would later, as far as can be told without writing. Empty: no file.
void check_writable(const std::string& file);

}  // namespace batchproxy::bench
