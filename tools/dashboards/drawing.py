"""Boards as the JSON that Grafana reads, by its own library for that."""

from __future__ import annotations

import json

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    BigValueTextMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from dashboards.layout import Board, Limit, Panel

TAG = "flobc"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
LINES_HEIGHT, NUMBER_HEIGHT = 8, 4
GOOD, BAD, PLAIN = "green", "red", "blue"

PanelBuilder = timeseries.Panel | stat.Panel


def draw(board: Board) -> str:
    """Return a board as JSON."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-30m", "now")
        .refresh("10s")
        .variables(_build_variables(board))
        .link(
            dashboard.DashboardLink("FLoBC")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
    )
    place = 0
    for row in board.rows:
        built = built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            place += 1
            built = built.with_panel(_build_panel(panel).id(place))
    return json.dumps(built.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _build_variables(board: Board) -> list[Builder[VariableModel]]:
    namespace = _build_query("namespace", "Namespace", "label_values(flobc_build_info, namespace)")
    asked = 'label_values(flobc_build_info{namespace=~"$namespace"}, release)'
    release = _build_query("release", "Release", asked).multi(board.many).include_all(board.many)
    if board.many:
        release = release.current(VariableOption(text="All", value="$__all"))
    return [dashboard.DatasourceVariable("datasource").label("Source").type("prometheus"), namespace, release]


def _build_query(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _build_panel(panel: Panel) -> PanelBuilder:
    built = _build_number(panel) if panel.kind in ("number", "name") else _build_lines(panel)
    about = panel.about
    if panel.limit is not None:
        about += f" Alert: {panel.limit.alert} (docs/runbooks/{panel.limit.alert}.md)."
    built = built.title(panel.title).description(about).unit(panel.unit).datasource(SOURCE).span(panel.width)
    if panel.decimals is not None:
        built = built.decimals(panel.decimals)
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        asked = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter).datasource(SOURCE)
        built = built.with_target(asked.instant() if panel.kind == "name" else asked.range())
    return built.thresholds(_build_thresholds(panel.limit))


def _build_thresholds(limit: Limit | None) -> dashboard.ThresholdsConfig:
    if limit is None:
        steps = [Threshold(None, PLAIN)]
    elif limit.below:
        steps = [Threshold(None, BAD), Threshold(limit.value, GOOD)]
    else:
        steps = [Threshold(None, GOOD), Threshold(limit.value, BAD)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _build_number(panel: Panel) -> stat.Panel:
    text = BigValueTextMode.NAME if panel.kind == "name" else BigValueTextMode.VALUE
    return (
        stat.Panel()
        .height(NUMBER_HEIGHT)
        .text_mode(text)
        .graph_mode(BigValueGraphMode.NONE if panel.kind == "name" else BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )


def _build_lines(panel: Panel) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
    )
    built = timeseries.Panel().height(LINES_HEIGHT).legend(legend).show_points(VisibilityMode.AUTO).line_width(1)
    if panel.kind == "stack":
        built = built.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    mode = GraphThresholdsStyleMode.OFF if panel.limit is None else GraphThresholdsStyleMode.DASHED
    return built.thresholds_style(common.GraphThresholdsStyleConfig().mode(mode))
