-- elastauth for HAProxy 2.6 or later (Lua 5.3 or 5.4; no other file is needed).
--
--   setenv FORWARD_AUTH abns@forward-auth
--   lua-load /etc/haproxy/elastauth.lua
--
--   http-request lua.forward-auth URL SEND TAKE
--   http-request deny deny_status 503 unless { var(txn.forward_auth) -m str URL }
--
-- Asks the service at URL whether the request may go on, as forward auth does in other gateways.
--
--   FORWARD_AUTH  the listener of this HAProxy that leads to the services. Its backends have the
--                 timeouts, TLS, health checks and kept connections, which HAProxy's built-in
--                 HTTP client has not.
--   URL           what is asked, with GET. The client's path and query are not part of it.
--   SEND          the request headers that the service gets: names with commas between them. It
--                 gets no others.
--   TAKE          the headers of the answer that become headers of the request. The client's own
--                 headers of these names are deleted first, in any case. With `!` before a name,
--                 the answer must have this header exactly once, and not empty.
--
-- Only status 200 lets a request on. A refusal (3xx, 4xx, 503) goes to the client with its body and
-- with the headers of `relayed`. Everything else is a 503 with Retry-After: no answer, a status
-- that means neither, a missing header, and every error of this script.
--
-- The second line belongs to the first. HAProxy lets a request on if a script is interrupted (by
-- tune.lua.session-timeout, or for want of memory). The variable has the URL that granted last.

local listener = os.getenv("FORWARD_AUTH")
assert(listener, "FORWARD_AUTH is not set: write `setenv FORWARD_AUTH …` before `lua-load`")

-- The headers of a refusal that the client gets. Never `authorization`: that is a login.
local relayed = {
  "cache-control", "content-security-policy", "content-type", "location", "referrer-policy",
  "retry-after", "set-cookie", "vary", "www-authenticate", "x-content-type-options",
  "x-request-id",
}

-- The listener answers earlier, by its own timeouts. This is the limit if it does not.
local longest_wait_ms = 15000

local function split(list)
  local names = {}
  for name in list:gmatch("[^,%s]+") do
    names[#names + 1] = name:lower()
  end
  return names
end

-- HAProxy numbers the values of a header from 0.
local function values_of(headers, name)
  local values = {}
  local found = headers and headers[name]
  local index = 0
  while found and found[index] ~= nil do
    values[#values + 1] = found[index]
    index = index + 1
  end
  return values
end

-- The answer of the service, or nil.
local function ask(txn, url, send)
  local all = txn.http:req_get_headers()
  local headers = {}
  for _, name in ipairs(split(send)) do
    local values = values_of(all, name)
    if #values > 0 then
      headers[name] = values
    end
  end
  return core.httpclient():get {
    url = url, dst = listener, headers = headers, timeout = longest_wait_ms,
  }
end

-- The headers of a grant, as pairs of a name and its values; nil if one that must exist does not.
local function granted(answer, take)
  local pairs_of = {}
  for _, name in ipairs(split(take)) do
    local values
    if name:sub(1, 1) == "!" then
      name = name:sub(2)
      values = values_of(answer.headers, name)
      if #values ~= 1 or values[1] == "" then
        return nil
      end
    else
      values = values_of(answer.headers, name)
    end
    pairs_of[#pairs_of + 1] = { name, values }
  end
  return pairs_of
end

local function is_refusal(status)
  return math.type(status) == "integer"
    and ((status >= 300 and status <= 499) or status == 503)
end

-- The refusal for the client, as a table: the reply itself must be made outside of pcall.
local function refusal(answer)
  if not answer or not is_refusal(answer.status) then
    return { status = 503, headers = { { "retry-after", "1" } }, body = "" }
  end
  local headers = {}
  for _, name in ipairs(relayed) do
    for _, value in ipairs(values_of(answer.headers, name)) do
      headers[#headers + 1] = { name, value }
    end
  end
  if answer.status == 503 and #values_of(answer.headers, "retry-after") == 0 then
    headers[#headers + 1] = { "retry-after", "1" }
  end
  return { status = answer.status, headers = headers, body = answer.body or "" }
end

-- Returns nil if the request may go on.
local function decide(txn, url, send, take)
  txn:unset_var("txn.forward_auth")
  local answer = ask(txn, url, send)
  local headers = answer and answer.status == 200 and granted(answer, take)
  if not headers then
    -- A 200 that lacks a header is not a refusal.
    return refusal(answer)
  end
  for _, header in ipairs(headers) do
    txn.http:req_del_header(header[1])
    for _, value in ipairs(header[2]) do
      txn.http:req_add_header(header[1], value)
    end
  end
  txn:set_var("txn.forward_auth", url)
  return nil
end

core.register_action("forward-auth", { "http-req" }, function(txn, url, send, take)
  local ran, refused = pcall(decide, txn, url, send, take)
  if ran and not refused then
    return
  end
  if not ran then
    -- An error may be in the middle of the headers, so the request must end here.
    pcall(txn.log, txn, core.err, "forward-auth: " .. tostring(refused))
    refused = refusal(nil)
  end
  -- `done` leaves the script by an error of its own, which pcall would catch.
  local reply = txn:reply()
  reply:set_status(refused.status)
  for _, header in ipairs(refused.headers) do
    reply:add_header(header[1], header[2])
  end
  reply:set_body(refused.body)
  txn:done(reply)
end, 3)
