// launcher/diagnosis/log_file.h - a diagnosis of a log that is a file or a pipe.
//
// Threading: any thread; blocks while it reads.
#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "launcher/diagnosis/diagnosis.h"

namespace batchproxy {

// Of what is left of `file`, to its end. Nothing if it cannot be read; errno says why.
std::optional<Diagnosis> diagnose(std::FILE* file);

// Of the file at `path` from byte `begin` on: where the run in question began, if that is known.
std::optional<Diagnosis> diagnose_file(const std::string& path, std::uint64_t begin = 0);

}  // namespace batchproxy
