-- Each chain is whole: the sequence has no gap, every entry names the hash of the one before it and carries its own,
-- and the head of the chain is its last entry.
WITH linked AS (
    SELECT e.*, lag(e.sequence, 1, 0::bigint) OVER in_order AS sequence_before,
           lag(e.hash, 1, sha256(convert_to(e.chain, 'UTF8'))) OVER in_order AS hash_before,
           entry_hash(e) AS hash_of_content,
           format('entry %s (%s %s, chain %s, sequence %s)', e.entry_id, e.kind, e.idempotency_key, e.chain, e.sequence) AS named
    FROM entry e WINDOW in_order AS (PARTITION BY e.chain ORDER BY e.sequence)
),
last_entry AS (
    SELECT DISTINCT ON (chain) chain, sequence, hash FROM entry ORDER BY chain, sequence DESC
),
wrong AS (
    SELECT format('chain %s: entries %s to %s are missing before %s', chain, sequence_before + 1, sequence - 1, named) AS finding
    FROM linked WHERE sequence <> sequence_before + 1
    UNION ALL
    SELECT format('%s does not name the hash of the entry before it', named)
    FROM linked WHERE sequence = sequence_before + 1 AND previous_hash <> hash_before
    UNION ALL
    SELECT format('%s does not carry its own hash: its place, time or digest was changed', named)
    FROM linked WHERE hash <> hash_of_content
    UNION ALL
    SELECT CASE WHEN h.chain IS NULL THEN format('chain %s has %s entries and no head', e.chain, e.sequence)
                WHEN e.chain IS NULL THEN format('chain %s: all its entries, 1 to %s, are missing', h.chain, h.sequence)
                WHEN e.sequence < h.sequence THEN format('chain %s: entries %s to %s, its last, are missing', h.chain, e.sequence + 1, h.sequence)
                ELSE format('chain %s: its head (sequence %s) is not its last entry (sequence %s)', h.chain, h.sequence, e.sequence) END
    FROM last_entry e FULL JOIN chain_head h USING (chain)
    WHERE coalesce(e.sequence, 0) <> coalesce(h.sequence, 0) OR (e.hash <> h.hash) OR (h.chain IS NULL)
)
SELECT examined, finding FROM (SELECT count(*) AS examined FROM chain_head) total LEFT JOIN wrong ON true
