// proxy/request/ticket_builder.h - from a request's body to what its ticket tells the lane about
// the prompt, and by which keys tickets and routes name models and clients.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "backends/call/list_codec.h"
#include "backends/json/body_scan.h"
#include "backends/model_table.h"
#include "batcher/base/ticket.h"
#include "batcher/routes.h"
#include "proxy/thread/data_path_settings.h"
#include "proxy/wire/client_request.h"

namespace batchproxy {

// Makes `ticket` one for `request`: what `like` says, and what `policy` asks for about the prompt
// that `parts` points to. `model` is text_key() of the request's.
void describe_prompt(const BodyPolicy& policy, const BodyScan& scan, std::uint64_t model,
                     const ClientRequest& request, const Ticket& like, const BodyParts& parts,
                     Ticket& ticket);

// Tells texts apart: models, whose prompts share nothing even on one backend, and clients.
std::uint64_t text_key(std::string_view text);

// The backends that serve each model, by the keys that tickets name models with.
Routes make_routes(const ModelTable& models);

// Tells clients apart that have shown no key of ours. Nobody can choose a `bearer` that makes them
// another `address`: the hash has a secret of this process in it.
std::uint64_t client_key(std::uint64_t address, std::string_view bearer);

}  // namespace batchproxy
