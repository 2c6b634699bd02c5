// proxy/control/settings.h - from the options to what the data path and the scheduler go by.
//
// Threading: pure functions, any thread.
#pragma once

#include "backends/net/tls.h"
#include "batcher/scheduler.h"
#include "configs/schema/options.h"
#include "proxy/otlp/span_exporter.h"
#include "proxy/thread/data_path_settings.h"
#include "proxy/trace/access_log.h"

namespace batchproxy {

Duration to_duration(Seconds seconds);

FlushPolicy flush_policy(const Options& options);

SchedulerOptions scheduler_options(const Options& options);
// The certificate and key that the options name; null if they name none; or a sentence that says
// why they cannot be used.
boost::system::result<TlsContextPtr, std::string> tls_context(const Options& options);
AccessLogSettings access_log_settings(const Options& options);
// Where traces go; a sentence when what the collector is trusted by cannot be read.
boost::system::result<ExportSettings, std::string> export_settings(const Options& options);
// With `backends` backends.
DataPathSettings data_path_settings(const Options& options, std::size_t backends);

}  // namespace batchproxy
