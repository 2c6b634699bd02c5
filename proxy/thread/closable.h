// proxy/thread/closable.h - Closable: a client's connection, as shutting down sees it.
//
// Threading: confined to one I/O thread.
#pragma once

#include <boost/intrusive/list.hpp>

namespace batchproxy {

// The acts of a thread upon the clients that it serves, all at once: for shutting down.
class Closable : public boost::intrusive::list_base_hook<
                     boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~Closable() = default;
  // Ends it now if it waits for its next request; otherwise it ends after the answer under way.
  virtual void close_if_idle() = 0;
  // Ends whatever is under way with an error.
  virtual void cut_short() = 0;
  virtual void close_now() = 0;
};
using ClosableList = boost::intrusive::list<Closable, boost::intrusive::constant_time_size<false>>;

}  // namespace batchproxy
