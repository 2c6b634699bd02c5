// proxy/request/merged_call.h - one call to a backend for several legs, as a MergeCore decides.
//
// The leader's thread makes the calls; it reads its followers' bytes where they are, and hands each
// member its answer on the member's own thread.
//
// Threading: confined to the leader's I/O thread.
#pragma once

#include "proxy/request/leg.h"
#include "proxy/thread/io_thread.h"

namespace batchproxy {

// Starts the call that `leader`'s verdict grants to it and its followers. Every member is filled
// exactly once, whatever happens, and not touched afterwards.
void start_merged_call(IoThread& thread, Leg& leader);

}  // namespace batchproxy
