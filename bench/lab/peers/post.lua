-- bench/lab/peers/post.lua - has wrk post one body, whose path and file are its arguments:
--   wrk -s bench/lab/peers/post.lua http://127.0.0.1:8000 -- /v1/completions body.json
function init(args)
  local file = assert(io.open(args[2], "rb"))
  wrk.method = "POST"
  wrk.path = args[1]
  wrk.headers["Content-Type"] = "application/json"
  wrk.body = file:read("*a")
  file:close()
end
