"""The shared documents of Chinese hospitals, WS/T 500-2016 (电子病历共享文档规范): 53 kinds of CDA.

Part N of the standard defines the document with code CNNNN, in the code system CODE_SYSTEM, whose
template is TEMPLATES.(N + 20): the twenty templates before are those of health records (WS/T 483).
"""

from __future__ import annotations

from typing import Final

CODE_SYSTEM: Final = "2.16.156.10011.2.4"
TEMPLATES: Final = "2.16.156.10011.2.1.1"
_TEMPLATES_BEFORE: Final = 20

NAMES: Final = {
    "C0001": "病历概要",
    "C0002": "门(急)诊病历",
    "C0003": "急诊留观病历",
    "C0004": "西药处方",
    "C0005": "中药处方",
    "C0006": "检查报告",
    "C0007": "检验报告",
    "C0008": "治疗记录",
    "C0009": "一般手术记录",
    "C0010": "麻醉术前访视记录",
    "C0011": "麻醉记录",
    "C0012": "麻醉术后访视记录",
    "C0013": "输血记录",
    "C0014": "待产记录",
    "C0015": "阴道分娩记录",
    "C0016": "剖宫产记录",
    "C0017": "一般护理记录",
    "C0018": "病重(病危)护理记录",
    "C0019": "手术护理记录",
    "C0020": "生命体征测量记录",
    "C0021": "出入量记录",
    "C0022": "高值耗材使用记录",
    "C0023": "入院评估",
    "C0024": "护理计划",
    "C0025": "出院评估与指导",
    "C0026": "手术知情同意书",
    "C0027": "麻醉知情同意书",
    "C0028": "输血治疗同意书",
    "C0029": "特殊检查及特殊治疗同意书",
    "C0030": "病危(重)通知书",
    "C0031": "其他知情告知同意书",
    "C0032": "住院病案首页",
    "C0033": "中医住院病案首页",
    "C0034": "入院记录",
    "C0035": "24小时内入出院记录",
    "C0036": "24小时内入院死亡记录",
    "C0037": "住院病程记录 首次病程记录",
    "C0038": "住院病程记录 日常病程记录",
    "C0039": "住院病程记录 上级医师查房记录",
    "C0040": "住院病程记录 疑难病例讨论记录",
    "C0041": "住院病程记录 交接班记录",
    "C0042": "住院病程记录 转科记录",
    "C0043": "住院病程记录 阶段小结",
    "C0044": "住院病程记录 抢救记录",
    "C0045": "住院病程记录 会诊记录",
    "C0046": "住院病程记录 术前小结",
    "C0047": "住院病程记录 术前讨论",
    "C0048": "住院病程记录 术后首次病程记录",
    "C0049": "住院病程记录 出院记录",
    "C0050": "住院病程记录 死亡记录",
    "C0051": "住院病程记录 死亡病例讨论记录",
    "C0052": "住院医嘱",
    "C0053": "出院小结",
}


def template_of(code: str) -> str:
    """The template id of the document with one of the codes in NAMES."""
    return f"{TEMPLATES}.{int(code[1:]) + _TEMPLATES_BEFORE}"


BY_TEMPLATE: Final = {template_of(code): code for code in NAMES}
