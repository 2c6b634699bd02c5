// launcher/plan/argument_fit.h - arguments as the installed version of vLLM takes them.
//
// Threading: pure functions over values.
#pragma once

#include <string>
#include <vector>

#include "configs/schema/argument.h"
#include "configs/vllm/version.h"

namespace batchproxy {

struct FittedArguments {
  Arguments arguments;                  // in the order given
  std::vector<std::string> remarks{};   // a sentence for each that was renamed or left out
  std::vector<std::string> problems{};  // a sentence for each that has to be written anew
};

// What an old script has is renamed or left out for a new vLLM, and the other way round, by
// configs/vllm/argument_history.h. An argument that the table does not have stays as it is.
FittedArguments fit_arguments(const Arguments& given, const Version& version);

}  // namespace batchproxy
