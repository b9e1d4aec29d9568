"""The report: tables, exams, networks and fronts on one page that needs only a browser."""
