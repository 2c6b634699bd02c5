// proxy/commands/launch.cc - batchproxy serve MODEL [any flag of vLLM's], and batchproxy launch
// MODEL [NUM_GPUS [GPU_MEM]] with the three words that launch scripts take.
#include <string>

#include "proxy/commands/commands.h"

namespace batchproxy {

Command add_launch(CLI::App& app, CommandLine& arguments) {
  CLI::App* command =
      app.add_subcommand("launch", "Start engines for a model and serve: MODEL NUM_GPUS GPU_MEM");
  const auto sets = [&](const char* word, const std::string& flag, const char* help) {
    return command->add_option_function<std::string>(
        word,
        [&arguments, flag](const std::string& value) {
          arguments.keys.given.emplace_back(flag, value);
        },
        help);
  };
  sets("MODEL", "--model", "A Hugging Face id or a directory")->required();
  sets("NUM_GPUS", "--gpus", "GPUs that its engines share: a number, or a list such as 4,5,6,7");
  sets("GPU_MEM", "--gpu-memory", "Share of each GPU's memory, such as 0.9");
  // Before all that is written, so that --profile counts.
  command->parse_complete_callback([&arguments] {
    auto& given = arguments.keys.given;
    given.insert(given.begin(), {"--profile", "multi"});
  });
  command->footer(
      "Examples:\n"
      "  batchproxy launch meta-llama/Llama-2-7b-chat-hf           one engine over all GPUs\n"
      "  batchproxy launch meta-llama/Llama-2-7b-chat-hf 8 0.9     over eight, with 0.9 of each\n"
      "  batchproxy launch meta-llama/Llama-2-7b-chat-hf 8 --servers 4    four engines of two\n"
      "  batchproxy launch ./my-model 8 --dry-run                  what that would run");
  return {command, {}};  // main.cc serves
}

Command add_serve_model(CLI::App& app, CommandLine& arguments) {
  CLI::App* command =
      app.add_subcommand("serve", "Start engines for a model and serve: MODEL [any vLLM flag]");
  auto& given = arguments.keys.given;
  CLI::Option* model = command->add_option_function<std::string>(
      "MODEL", [&given](const std::string& value) { given.emplace_back("--model", value); },
      "A Hugging Face id or a directory");
  CLI::Option* simulated = command->add_option_function<std::string>(
      "--sim",
      [&given](const std::string& value) {
        given.insert(given.end(), {{"--engine", "sim"}, {"--servers", value}});
      },
      "Simulated engines, so many, to try it without a GPU");
  simulated->type_name("N");
  command->callback([model, simulated, &arguments, &given] {
    if (model->count() > 0) return;
    if (simulated->count() > 0) {
      given.emplace_back("--model", "simulated");
    } else if (!knows_what_to_serve(arguments)) {
      throw CLI::RequiredError("MODEL");
    }
  });
  command->footer(
      "Examples:\n"
      "  batchproxy serve Qwen/Qwen2.5-7B-Instruct --servers 4 -tp 2       four engines of two "
      "GPUs\n"
      "  batchproxy serve ./my-model --max-model-len 8k --enforce-eager    any flag of vLLM's\n"
      "  batchproxy serve --sim 4                                          without a GPU\n"
      "  batchproxy serve --config mine.yaml                               as the file says\n"
      "A flag that is not batchproxy's is the engines'; the model stands before such flags.");
  return {command, {}};  // main.cc serves
}

}  // namespace batchproxy
