-- What each run changed of a client's earning activity: lines that earn, their volume and their commission, so that the
-- sum over runs is the activity as it stands. Reviews, trees and trends are read here instead of from every line.

CREATE TABLE activity (
    run_id bigint NOT NULL,
    root text COLLATE "C" NOT NULL,
    window_start timestamptz NOT NULL,
    venue text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    broker_id text COLLATE "C" NOT NULL,
    product text NOT NULL,
    earned_lines bigint NOT NULL,
    volume_usdt numeric NOT NULL,
    commission_usdt numeric NOT NULL,
    PRIMARY KEY (run_id, root, venue, account, broker_id, product),
    FOREIGN KEY (run_id, root) REFERENCES run_shard
);
CREATE INDEX activity_root ON activity (root, window_start);
CREATE INDEX activity_client ON activity (venue, account, window_start);

-- Of lines that were settled before this table was there. None of them replaced an earned one: until now only pending
-- lines were ever revised.
INSERT INTO activity
SELECT l.run_id, b.root, l.window_start, l.venue, l.account, b.broker_id, b.product, count(*), sum(l.notional_usdt),
       sum(l.commission_usdt)
FROM line l JOIN basis b USING (basis_id)
WHERE b.status = 'earned'
GROUP BY l.run_id, b.root, l.window_start, l.venue, l.account, b.broker_id, b.product;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON activity
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT, INSERT ON activity TO settlement_app;
