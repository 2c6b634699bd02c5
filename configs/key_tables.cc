// configs/key_tables.cc - see key_tables.h.
#include "configs/key_tables.h"

#include <type_traits>
#include <utility>

#include "configs/schema/options.h"
#include "configs/schema/section.h"
#include "configs/text/nearest_name.h"
#include "configs/value_text.h"
#include "configs/vllm/argument_flags.h"
#include "configs/yaml/values.h"
namespace batchproxy {

namespace {

std::string type_of(const Key<bool>&) {
  return "true or false";
}
std::string type_of(const Key<std::int64_t>&) {
  return "whole number";
}
std::string type_of(const Key<double>&) {
  return "number";
}
std::string type_of(const Key<Seconds>&) {
  return "seconds";
}
std::string type_of(const Key<std::string>& key) {
  return key.limits.words.empty() ? "text" : "word";
}
std::string type_of(const Key<std::vector<std::string>>&) {
  return "list of text";
}
std::string type_of(const Key<Arguments>&) {
  return "mapping";
}
std::string type_of(const Key<std::vector<BackendOptions>>&) {
  return "list";
}
std::string type_of(const Key<Servers>&) {
  return "number, `auto` or list";
}

std::string type_of(const Key<GpuChoice>&) {
  return "number or list";
}

std::string reload_text(Applies applies) {
  switch (applies) {
    case Applies::kOnReload:
      return "yes";
    case Applies::kAfterRestart:
      return "no";
    case Applies::kUnlessSourceChanges:
      return "same kind";
  }
  return "";
}

template <class T>
KeyText text_of_key(const Key<T>& key, const std::string& path) {
  const Limits& limits = key.limits;
  const bool has_range = limits.min != 0 || limits.max != 0;
  return {.name = path + std::string(key.name),
          .type = type_of(key),
          .value = text_of(key.value),
          .words = join(limits.words),
          .range = has_range ? number_text(limits.min) + " to " + number_text(limits.max) : "",
          .flag = std::string(key.flag.name),
          .variable = std::string(key.flag.variable),
          .reload = reload_text(key.applies),
          .meaning = std::string(key.help)};
}

template <class Section>
KeyTable table(std::string title, const std::string& path, const Section& section) {
  KeyTable made{std::move(title), {}};
  for_each_member(section, [&](const auto& member) {
    if constexpr (is_key<std::remove_cvref_t<decltype(member)>>) {
      made.keys.push_back(text_of_key(member, path));
    }
  });
  return made;
}

// Of arguments with flags: what else they are is vLLM's.
void add_arguments(KeyTable& table) {
  for (const ArgumentFlag& row : kArgumentFlags) {
    table.keys.push_back({.name = "vllm_args." + std::string(row.argument),
                          .type = "argument",
                          .flag = std::string(row.flag.name),
                          .variable = std::string(row.flag.variable),
                          .reload = "no",
                          .meaning = std::string(row.flag.help) + "."});
  }
}

}  // namespace

std::vector<KeyTable> key_tables() {
  const Options defaults;
  std::vector<KeyTable> tables{
      table("Shared with the workers", "", defaults.worker),
      table("The proxy", "batchproxy.", defaults.proxy),
      table("Engines that already run", "batchproxy.backends[].", BackendOptions{}),
      table("Engines to start", "batchproxy.launcher.", defaults.proxy.launcher),
      table("One kind of engine", "batchproxy.launcher.servers[].", ServerOptions{}),
      table("Files and batches", "batchproxy.jobs.", defaults.proxy.jobs),
      table("TLS", "batchproxy.tls.", defaults.proxy.tls),
      table("A line for each request", "batchproxy.access_log.", defaults.proxy.access_log),
      table("Traces", "batchproxy.tracing.", defaults.proxy.tracing)};
  add_arguments(tables.front());
  return tables;
}

}  // namespace batchproxy
