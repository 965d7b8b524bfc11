// A session of an official JavaScript client, through elastauth or straight at the cluster.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

const { CLIENT, URL: node, EDITOR, VIEWER, CLIENTS_PART, INDEX = 'logs-session-js' } = process.env
const require = createRequire(`${CLIENTS_PART}/`)
const { Client } = require(CLIENT === 'elasticsearch' ? '@elastic/elasticsearch' : '@opensearch-project/opensearch')

// A retry would hide a fault.
const client = headers => new Client({ node, headers: JSON.parse(headers), compression: CLIENT === 'elasticsearch' || 'gzip', maxRetries: 0, requestTimeout: 60_000 })
const [editor, viewer] = [client(EDITOR), client(VIEWER)]
const ok = name => console.log('ok', name)
// One of the two clients wraps each answer.
const unwrap = answer => CLIENT === 'elasticsearch' ? answer : answer.body
const write = (one, id, document, more = {}) => one.index(CLIENT === 'elasticsearch' ? { index: INDEX, id, document, ...more } : { index: INDEX, id, body: document, ...more })
const status = async call => {
  try { await call() } catch (error) { return error.statusCode }
  return 200
}

assert.ok(unwrap(await editor.info()).version.number)
ok('info')

if (unwrap(await editor.indices.exists({ index: INDEX }))) await editor.indices.delete({ index: INDEX })
await editor.indices.create({ index: INDEX })
ok('create an index')

const names = ['plain', 'a/b', 'a b', 'ü', 'a%2Fb', 'semi;colon', 'a+b', 'q?x=1', '[x]']
for (const [number, name] of names.entries()) await write(editor, name, { number, name })
for (const [number, name] of names.entries()) {
  const found = unwrap(await editor.get({ index: INDEX, id: name }))
  assert.deepEqual([found._id, found._source.number], [name, number])
}
ok('names that have to be escaped')

assert.equal(await status(() => editor.get({ index: INDEX, id: 'nobody' })), 404)
assert.equal(await status(() => write(editor, 'plain', {}, { op_type: 'create' })), 409)
ok('404 and 409')

const result = await editor.helpers.bulk({
  datasource: Array.from({ length: 5_000 }, (_, number) => ({ number, text: 'x'.repeat(200) })),
  onDocument: document => ({ index: { _index: INDEX, _id: `bulk-${document.number}` } }),
  refreshOnCompletion: INDEX,
})
assert.deepEqual([result.successful, result.failed, result.retry], [5_000, 0, 0])
ok('bulk with gzip')

let seen = 0
for await (const document of editor.helpers.scrollDocuments({ index: INDEX, size: 900, ...(CLIENT === 'elasticsearch' ? { query: { match_all: {} } } : { body: { query: { match_all: {} } } }) })) {
  assert.ok(document)
  seen += 1
}
assert.equal(seen, 5_000 + names.length)
ok('scroll')

// Many at once, over connections that the client keeps.
const numbers = Array.from({ length: 400 }, (_, number) => number)
await Promise.all(numbers.map(async number => {
  const found = unwrap(await editor.get({ index: INDEX, id: `bulk-${number}` }))
  assert.equal(found._source.number, number)
}))
ok('four hundred requests at once')

assert.equal(unwrap(await viewer.get({ index: INDEX, id: 'bulk-1' }))._source.number, 1)
assert.equal(await status(() => write(viewer, 'not-allowed', {})), 403)
assert.equal(await status(() => editor.get({ index: INDEX, id: 'not-allowed' })), 404)
ok('a viewer reads and cannot write')

await editor.indices.delete({ index: INDEX })
ok('delete the index')
await editor.close()
await viewer.close()
