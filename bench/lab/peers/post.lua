-- bench/lab/peers/post.lua - has wrk post one body, whose path and file are its arguments; a third one is the field
-- Connection:
--   wrk -s bench/lab/peers/post.lua http://127.0.0.1:8000 -- /v1/completions body.json [close]
function init(args)
  local file = assert(io.open(args[2], "rb"))
  wrk.method = "POST"
  wrk.path = args[1]
  wrk.headers["Content-Type"] = "application/json"
  if args[3] then wrk.headers["Connection"] = args[3] end
  wrk.body = file:read("*a")
  file:close()
end
