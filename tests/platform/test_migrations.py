from sqlalchemy import text
from schemas.storage import migrate

def test_x(database, superuser, redis_url, shared_dir):
    with database.transaction() as c:
        assert c.execute(text("select current_user")).scalar_one() == "settlement_app"
    assert migrate.current(database.engine) == migrate.head()
