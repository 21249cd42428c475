// Reads checklists as STIG Manager does when somebody uploads them, with the
// options that a collection of its has at first, and prints what it made of
// each. Its parsers throw at what they do not take.
//
//   node read.mjs FILE.ckl|FILE.cklb...
import { readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { reviewsFromCkl, reviewsFromCklb } from '@nuwcdivnpt/stig-manager-client-modules'

const parsers = { '.ckl': reviewsFromCkl, '.cklb': reviewsFromCklb }

const fieldSettings = {
  detail: { enabled: 'always', required: 'always' },
  comment: { enabled: 'findings', required: 'findings' },
}

const importOptions = {
  autoStatus: 'saved',
  unreviewed: 'commented',
  unreviewedCommented: 'informational',
  emptyDetail: 'replace',
  emptyComment: 'ignore',
  allowCustom: true,
}

const read = process.argv.slice(2).map((file) => {
  const { target, errors, checklists } = parsers[extname(file)]({
    data: readFileSync(file, 'utf8'),
    fieldSettings,
    importOptions,
    allowAccept: true,
    scapBenchmarkMap: new Map(),
    sourceRef: file,
  })
  return { target, errors: errors ?? [], checklists }
})

console.log(JSON.stringify(read))
