"""Parquet files, written with numpy alone: row groups in, one file out, memory that stays flat."""
