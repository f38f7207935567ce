"""The peers' time for the operations of bench-transform, one peer a process, on a table that is in memory before.

usage: peers.py pandas|polars|duckdb FILE

FILE is Parquet with the columns of bench-transform. Prints a line an operation: `peer operation seconds`.
"""

import sys
import time


def pandas(path):
    import pandas

    rows = pandas.read_parquet(path)
    price, quantity, mode = rows["l_extendedprice"], rows["l_quantity"], rows["l_shipmode"]

    def within_fences():
        low, high = price.quantile(0.25), price.quantile(0.75)
        reach = 1.5 * (high - low)
        return rows[(price >= low - reach) & (price <= high + reach)]

    return {
        "impute_median": lambda: quantity.fillna(quantity.median()),
        "impute_mode": lambda: mode.fillna(mode.mode().iloc[0]),
        "standardize": lambda: (price - price.mean()) / price.std(ddof=0),
        "normalize": lambda: (price - price.min()) / (price.max() - price.min()),
        "group_sum": lambda: rows.groupby(["l_returnflag", "l_shipmode"])["l_extendedprice"].sum(),
        "filter": lambda: rows[(quantity > 30) & (mode == "AIR")],
        "sort": lambda: rows.sort_values(["l_shipdate", "l_extendedprice"]),
        "dedup": lambda: rows.drop_duplicates(subset=["l_orderkey"], keep="first"),
        "outlier_iqr": within_fences,
        "upper": lambda: rows["l_comment"].str.upper(),
        "shift": lambda: price.shift(1),
    }


def polars(path):
    import polars

    rows = polars.read_parquet(path)
    price, quantity, mode = polars.col("l_extendedprice"), polars.col("l_quantity"), polars.col("l_shipmode")
    low, high = price.quantile(0.25, "linear"), price.quantile(0.75, "linear")
    reach = 1.5 * (high - low)
    return {
        "impute_median": lambda: rows.with_columns(quantity.fill_null(quantity.median())),
        "impute_mode": lambda: rows.with_columns(mode.fill_null(mode.drop_nulls().mode().min())),
        "standardize": lambda: rows.with_columns((price - price.mean()) / price.std(ddof=0)),
        "normalize": lambda: rows.with_columns((price - price.min()) / (price.max() - price.min())),
        "group_sum": lambda: rows.group_by("l_returnflag", "l_shipmode").agg(price.sum()),
        "filter": lambda: rows.filter((quantity > 30) & (mode == "AIR")),
        "sort": lambda: rows.sort("l_shipdate", "l_extendedprice"),
        "dedup": lambda: rows.unique(subset=["l_orderkey"], keep="first", maintain_order=True),
        "outlier_iqr": lambda: rows.filter((price >= low - reach) & (price <= high + reach)),
        "upper": lambda: rows.with_columns(polars.col("l_comment").str.to_uppercase()),
        "shift": lambda: rows.with_columns(price.shift(1)),
    }


def duckdb(path):
    import duckdb

    session = duckdb.connect()
    session.execute("create table lineitem as select row_number() over () as place, * from read_parquet(?)", [path])
    price = "l_extendedprice"
    changed = "select * exclude (place) replace ({} as {}) from lineitem"
    queries = {
        "impute_median": changed.format("coalesce(l_quantity, (select median(l_quantity) from lineitem))", "l_quantity"),
        "impute_mode": changed.format("coalesce(l_shipmode, (select mode(l_shipmode) from lineitem))", "l_shipmode"),
        "standardize": "with facts as (select avg(l_extendedprice) as mean, stddev_pop(l_extendedprice) as std from lineitem) "
        "select lineitem.* exclude (place) replace ((l_extendedprice - mean) / std as l_extendedprice) from lineitem, facts",
        "normalize": "with facts as (select min(l_extendedprice) as low, max(l_extendedprice) as high from lineitem) "
        "select lineitem.* exclude (place) replace ((l_extendedprice - low) / (high - low) as l_extendedprice) from lineitem, facts",
        "group_sum": f"select l_returnflag, l_shipmode, sum({price}) from lineitem group by l_returnflag, l_shipmode",
        "filter": "select * exclude (place) from lineitem where l_quantity > 30 and l_shipmode = 'AIR'",
        "sort": f"select * exclude (place) from lineitem order by l_shipdate, {price}",
        "dedup": "select * exclude (place) from lineitem qualify row_number() over (partition by l_orderkey order by place) = 1",
        "outlier_iqr": f"with facts as (select quantile_cont({price}, 0.25) as low, quantile_cont({price}, 0.75) as high from lineitem) "
        f"select lineitem.* exclude (place) from lineitem, facts where {price} between low - 1.5 * (high - low) and high + 1.5 * (high - low)",
        "upper": changed.format("upper(l_comment)", "l_comment"),
        "shift": f"select * exclude (place) replace (lag({price}) over (order by place) as {price}) from lineitem",
    }

    def answered(query):
        # A table of Arrow, as ours answers.
        return lambda: session.sql(query).to_arrow_table()

    return {name: answered(query) for name, query in queries.items()}


def main():
    peer, path = sys.argv[1:3]
    for name, run in {"pandas": pandas, "polars": polars, "duckdb": duckdb}[peer](path).items():
        start = time.perf_counter()
        answer = run()
        print(peer, name, f"{time.perf_counter() - start:.4f}", flush=True)
        del answer


main()
