// configs/json_schema.h - the configuration file as a JSON Schema (draft 7), made of the rows of
// schema/options.h: for editors that complete keys and underline mistakes as they are typed.
//
// It takes what the loader takes of one file by itself, and no key under `batchproxy:` that the
// loader does not know. Rules between keys are left to `batchproxy check`.
//
// Threading: any thread; no state.
#pragma once

#include <string>

namespace batchproxy {

// Indented, with a line feed at its end.
std::string json_schema();

}  // namespace batchproxy
