from tests.rows import *
def test_first(api):
    db=api.db
    a_repository(db); a_workflow(db, 7, "CI"); a_workflow(db,8,"Deploy"); a_run(db); a_run(db, workflow_id=8,name="Deploy")
    r=a_run(db, status="in_progress", created_at=T0-60); a_job(db, r)
    import json
    for p in ("/api/v1/pipeline/overview","/api/v1/pipeline/status","/api/v1/pipeline/metrics/","/api/v1/pipeline/recent","/api/v1/builds?per_page=1&page=2",f"/api/v1/builds/{r['id']}","/","/health","/metrics","/openapi.json","/api/v1/builds/abc","/api/v1/x","/api/v1/builds?nope=1","/api/v1/builds?repo=a/b"):
        a=api.open(p); print(a.status_code, dict(a.headers)); print(a.get_data(as_text=True)[:1500])
        if "ETag" in a.headers:
            b=api.open(p, headers={"If-None-Match": a.headers["ETag"]}); print(b.status_code)
    api.open("/api/v1/builds", method="POST")
