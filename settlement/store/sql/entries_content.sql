-- Each entry still says what was posted: the digest of its content is recomputed. Where putting one leg back to the
-- amount of the other side gives the digest again, that leg is the one that was changed.
WITH content AS (
    SELECT p.entry_id, string_agg(leg_content(p), E'\n' ORDER BY p.leg) AS leg_contents,
           string_agg(format('leg %s %s %s %s', p.leg, p.direction, p.amount_usdt, p.account), ', ' ORDER BY p.leg) AS described
    FROM posting p GROUP BY p.entry_id
),
changed AS (
    SELECT e AS entry, e.entry_id, c.described,
           format('entry %s (%s %s, chain %s, sequence %s)', e.entry_id, e.kind, e.idempotency_key, e.chain, e.sequence) AS named
    FROM entry e LEFT JOIN content c USING (entry_id)
    WHERE e.content_digest <> sha256(convert_to(entry_content(e, c.leg_contents), 'UTF8'))
),
restored AS (
    SELECT c.entry_id, suspect.leg, other.amount_usdt AS amount_before,
           string_agg(CASE p.leg WHEN suspect.leg
                          THEN leg_content(ROW(p.entry_id, p.leg, p.account, p.direction, other.amount_usdt)::posting)
                          ELSE leg_content(p) END, E'\n' ORDER BY p.leg) AS leg_contents
    FROM changed c
    JOIN posting suspect USING (entry_id)
    JOIN posting other ON other.entry_id = c.entry_id AND other.direction <> suspect.direction
    JOIN posting p ON p.entry_id = c.entry_id
    GROUP BY c.entry_id, suspect.leg, other.amount_usdt
),
named AS (
    SELECT c.named, c.described, suspect
    FROM changed c
    LEFT JOIN restored r ON r.entry_id = c.entry_id
        AND (c.entry).content_digest = sha256(convert_to(entry_content(c.entry, r.leg_contents), 'UTF8'))
    LEFT JOIN LATERAL (
        SELECT format('leg %s, %s %s, is %s and was posted as %s', p.leg, p.direction, p.account, p.amount_usdt, r.amount_before) AS suspect
        FROM posting p WHERE p.entry_id = r.entry_id AND p.leg = r.leg
    ) one ON true
)
SELECT examined,
       named || ': ' || coalesce(suspect, 'its kind, key, run, date or legs are not what was posted; now '
                                          || coalesce(described, 'no leg is left')) AS finding
FROM (SELECT count(*) AS examined FROM entry) total LEFT JOIN named ON true
