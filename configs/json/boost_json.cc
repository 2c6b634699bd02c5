// configs/json/boost_json.cc - the one place where Boost.JSON is compiled: Debian's package of
// this version has no separate library for it.
#include <boost/json/src.hpp>
