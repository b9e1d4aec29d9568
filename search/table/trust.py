"""Why a table's predictions are not to be trusted, in one wording for every command."""

from search.table.manifest import Exam


def exam_doubt(exam: Exam | None) -> str:
    """What is wrong with a table's exam, as the object of "it has"; empty when it passed."""
    if exam is None:
        return "no exam: its predictions were compared with nothing"
    if exam.passed:
        return ""
    return (
        f"an exam below the bar: MAPE {exam.mape.value:.2%} (at most {exam.bar_mape:.0%}), "
        f"Spearman {exam.spearman.value:.3f} (at least {exam.bar_spearman:g})"
    )
